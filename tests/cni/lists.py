"""Configuration lists as Flannel's and Calico's installers write them, and our entry."""

from __future__ import annotations

from policyd.cni.conflist import PLUGIN

ENTRY = {"type": PLUGIN, "runDir": "/run/policyd", "waitSeconds": 30, "unanswered": "refuse"}
FLANNEL = """\
{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "flannel",
      "delegate": {
        "hairpinMode": true,
        "isDefaultGateway": true
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
"""
CALICO = (
    '{"name":"k8s-pod-network","cniVersion":"0.3.1","plugins":[{"type":"calico","mtu":0,'
    '"nodename_file_optional":false,"log_level":"Info"},{"type":"portmap","snat":true}]}'
)
