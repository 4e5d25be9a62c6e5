// Stands at /agnhost in the pods of upstream's ClusterNetworkPolicy suite, before the real one (/agnhost-real).
//
// Many kernels have no SCTP sockets, and the suite probes SCTP. What agnhost would do with one ("connect
// --protocol=sctp" and "porter" with SERVE_SCTP_PORT_*) is done here through raw IP sockets; all else is left to
// agnhost. And each probe waits for PROBE_AFTER first: the suite does not wait for a policy to be in force, so a
// probe at once, where something must pass, says nothing about the policy.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	realAgnhost = "/agnhost-real"
	servePrefix = "SERVE_"
	sctpPrefix  = "SERVE_SCTP_PORT_"
)

func main() {
	if len(os.Args) < 2 {
		beAgnhost(os.Environ())
	}
	switch os.Args[1] {
	case "connect":
		probe(os.Args[2:])
	case "porter":
		serve()
	}
	beAgnhost(os.Environ())
}

// beAgnhost goes on as the real one; it does not return.
func beAgnhost(environment []string) {
	end("UNKNOWN", syscall.Exec(realAgnhost, os.Args, environment))
}

// probe waits, and returns if the probe is not one of SCTP.
func probe(arguments []string) {
	if pause, err := time.ParseDuration(os.Getenv("PROBE_AFTER")); err == nil {
		time.Sleep(pause)
	}
	flags := flag.NewFlagSet("connect", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	protocol := flags.String("protocol", "", "")
	timeout := flags.Duration("timeout", time.Minute, "")
	text := flags.String("sctp-data", "hostname", "")
	if flags.Parse(arguments) != nil || flags.NArg() != 1 || *protocol != "sctp" {
		return
	}
	switch err := exchange(flags.Arg(0), *text+"\n", time.Now().Add(*timeout)); {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, os.ErrDeadlineExceeded):
		end("TIMEOUT", nil)
	default:
		end("OTHER", err)
	}
}

// serve answers at the SCTP ports that the environment names, and returns if it names none.
func serve() {
	ports := map[uint16]string{}
	var others []string
	more := false
	for _, entry := range os.Environ() {
		name, text, _ := strings.Cut(entry, "=")
		number, ours := strings.CutPrefix(name, sctpPrefix)
		port, err := strconv.ParseUint(number, 10, 16)
		if ours && err == nil {
			ports[uint16(port)] = text
			continue
		}
		more = more || strings.HasPrefix(name, servePrefix)
		others = append(others, entry)
	}
	if len(ports) == 0 {
		return
	}
	if more {
		inherited := []uintptr{0, 1, 2}
		if _, err := syscall.ForkExec(realAgnhost, os.Args, &syscall.ProcAttr{Env: others, Files: inherited}); err != nil {
			end("UNKNOWN", err)
		}
	}
	end("OTHER", listen(ports))
}

// end says on standard error, in agnhost's words, how it ended.
func end(word string, err error) {
	if err != nil {
		word = fmt.Sprintf("%s: %v", word, err)
	}
	fmt.Fprintln(os.Stderr, word)
	os.Exit(1)
}
