// Command ttrpc-peer is the other side of our ttRPC tests: containerd's own implementation and Go's protobuf, an
// independent second opinion on every byte.
package main

import (
	"fmt"
	"os"
)

const usage = `usage:
  ttrpc-peer client ADDR --protos DIR        calls from JSON lines on stdin, replies as JSON lines on stdout
  ttrpc-peer server ADDR --protos DIR        Health and a part of AgentService with made-up behaviour
  ttrpc-peer pods ADDR --protos DIR          pods from a remote hypervisor, through their lives as a Kata runtime leads them
  ttrpc-peer bench ADDR [--inflight N] [--count N | --seconds S] [--warmup N]
  ttrpc-peer bench-server ADDR               Health.Check only
ADDR: unix:///path  unix://@name  tcp://host:port  hvsock://path:port
`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch mode, addr, rest := os.Args[1], os.Args[2], os.Args[3:]; mode {
	case "client":
		err = runClient(addr, rest)
	case "server":
		err = runServer(addr, rest)
	case "pods":
		err = runPods(addr, rest)
	case "bench":
		err = runBench(addr, rest)
	case "bench-server":
		err = runBenchServer(addr)
	default:
		err = fmt.Errorf("unknown mode %q", mode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc-peer:", err)
		os.Exit(1)
	}
}
