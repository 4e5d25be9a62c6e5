package main

import (
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/mattfenwick/cyclonus/pkg/worker"
	v1 "k8s.io/api/core/v1"
)

const (
	// patience is for packets that a busy machine loses or delays; what is denied stays denied.
	patience = 3 * time.Second
	// repeat is how soon a packet without an answer is sent again, as TCP and the SCTP at /agnhost do.
	repeat = time.Second
)

// work makes the probes of one pod, all at once, as Cyclonus' own worker does ten at a time.
//
// That one starts agnhost for each probe, which takes 30 ms of a processor, and Cyclonus makes 486 probes for each
// step of a test. So what `agnhost connect` does is done here; SCTP alone is left to the program at /agnhost.
func work() {
	jobs := flag.String("jobs", "", "the probes, in JSON")
	flag.Parse()
	var batch worker.Batch
	die(json.Unmarshal([]byte(*jobs), &batch))
	results := make([]*worker.Result, len(batch.Requests))
	var probes sync.WaitGroup
	for i, request := range batch.Requests {
		probes.Add(1)
		go func() {
			defer probes.Done()
			results[i] = &worker.Result{Request: request}
			if err := connect(request); err != nil {
				results[i].Error = err.Error()
			}
		}()
	}
	probes.Wait()
	die(json.NewEncoder(os.Stdout).Encode(results))
}

func connect(request *worker.Request) error {
	switch request.Protocol {
	case v1.ProtocolTCP:
		connection, err := net.DialTimeout("tcp", request.Address(), patience)
		if err != nil {
			return err
		}
		return connection.Close()
	case v1.ProtocolUDP:
		return ask(request.Address())
	default:
		timeout := "--timeout=" + patience.String()
		return exec.Command("/agnhost", "connect", timeout, "--protocol=sctp", request.Address()).Run()
	}
}

// ask sends a datagram again and again, and takes only an answer for a success.
func ask(address string) error {
	connection, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	answer := make([]byte, 1024)
	for end := time.Now().Add(patience); ; {
		if _, err = connection.Write([]byte("hostname\n")); err != nil {
			return err
		}
		if err = connection.SetReadDeadline(time.Now().Add(repeat)); err != nil {
			return err
		}
		length, err := connection.Read(answer)
		switch {
		case err == nil && length > 0:
			return nil
		case err == nil:
			return errors.New("an empty answer")
		case !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end):
			return err
		}
	}
}
