//go:build tools

package main

// Upstream's suite is built from its module as it is; named here so that go.mod keeps what it needs.
import _ "sigs.k8s.io/network-policy-api/conformance/tests"
