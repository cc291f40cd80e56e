package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Time-outs of a Kata runtime (section 9.3 of the agent's spec); 0 is none.
const (
	checkTimeout     = 30 * time.Second
	sandboxTimeout   = 300 * time.Second
	requestTimeout   = 60 * time.Second
	machineTimeout   = 600 * time.Second
	noTimeout        = time.Duration(0)
	readLength       = 32768
	agentService     = "grpc.AgentService"
	remoteHypervisor = "hypervisor.Hypervisor"
)

// podPlan is one pod of the input: request bodies in protobuf's JSON.
type podPlan struct {
	ID        string          `json:"id"`
	CreateVM  json.RawMessage `json:"create_vm"`
	Sandbox   json.RawMessage `json:"sandbox"`
	Pause     json.RawMessage `json:"pause"`
	Container json.RawMessage `json:"container"`
	// ContainerID is the container that Container makes, and whose output is read.
	ContainerID string          `json:"container_id"`
	Exec        json.RawMessage `json:"exec"`
}

// podResult is one line of output. Event is "started" when StartVM has returned, "running" when the container runs,
// "over" when all is taken away.
type podResult struct {
	Event       string  `json:"event"`
	ID          string  `json:"id"`
	Socket      string  `json:"socket,omitempty"`
	Stdout      string  `json:"stdout,omitempty"`
	Stderr      string  `json:"stderr,omitempty"`
	Status      int32   `json:"status,omitempty"`
	ExecCode    int     `json:"exec_code,omitempty"`
	ExecMessage string  `json:"exec_message,omitempty"`
	SandboxMs   float64 `json:"sandbox_ms,omitempty"`
	Error       string  `json:"error,omitempty"`
}

// runPods takes pods through their lives side by side, as a Kata runtime with a remote hypervisor does: the first line
// of input is a list of plans; each further line lets all pods go on from where they wait for each other.
func runPods(addr string, args []string) error {
	flags := flag.NewFlagSet("pods", flag.ExitOnError)
	protos := flags.String("protos", "", "folder of .proto files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := loadSchema(*protos)
	if err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var plans []podPlan
	if err := json.Unmarshal(line, &plans); err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	put := func(r podResult) {
		mu.Lock()
		defer mu.Unlock()
		// Standard output is gone only when the test is.
		_ = out.Encode(r)
	}
	gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
	go func() {
		for _, gate := range gates {
			if _, err := in.ReadBytes('\n'); err != nil {
				os.Exit(1)
			}
			close(gate)
		}
	}()
	var wg sync.WaitGroup
	for _, plan := range plans {
		plan := plan
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := &pod{schema: s, hypervisor: addr, plan: plan, put: put, gates: gates}
			r, err := p.live()
			r.Event, r.ID = "over", plan.ID
			if err != nil {
				r.Error = err.Error()
			}
			put(r)
		}()
	}
	wg.Wait()
	return nil
}

type pod struct {
	schema     schema
	hypervisor string
	plan       podPlan
	put        func(podResult)
	gates      []chan struct{}
	agent      *ttrpc.Client
}

func (p *pod) live() (r podResult, err error) {
	began := time.Now()
	reply, err := p.machine("CreateVM", p.plan.CreateVM)
	if err != nil {
		return r, err
	}
	socket := reply.get("agentSocketPath").String()
	id, err := json.Marshal(map[string]string{"id": p.plan.ID})
	if err != nil {
		return r, err
	}
	if _, err = p.machine("StartVM", id); err != nil {
		return r, err
	}
	defer func() {
		// The runtime does the same when a pod fails.
		if _, stop := p.machine("StopVM", id); err == nil {
			err = stop
		}
	}()
	if err = p.dial(socket); err != nil {
		return r, err
	}
	defer p.agent.Close()
	r.Socket = socket
	if err = p.startSandbox(); err != nil {
		return r, err
	}
	r.SandboxMs = float64(time.Since(began).Microseconds()) / 1000
	p.put(podResult{Event: "started", ID: p.plan.ID, Socket: socket, SandboxMs: r.SandboxMs})
	<-p.gates[0]
	if err = p.runContainer(&r); err != nil {
		return r, err
	}
	return r, p.stopSandbox()
}

// machine makes one call of the hypervisor on a connection of its own.
func (p *pod) machine(method string, body json.RawMessage) (message, error) {
	conn, err := dial(p.hypervisor)
	if err != nil {
		return message{}, err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	return p.call(client, remoteHypervisor, method, body, machineTimeout)
}

// dial connects to a plain unix socket, again and again without a pause for 30 s, as remote:// does.
func (p *pod) dial(socket string) error {
	if strings.Contains(socket, ":") {
		return fmt.Errorf("socket %q: the runtime parts remote:SOCKET at the colon", socket)
	}
	for stop := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			p.agent = ttrpc.NewClient(conn)
			return nil
		}
		if time.Now().After(stop) {
			return err
		}
	}
}

// startSandbox is what the runtime sends before it calls a pod ready.
func (p *pod) startSandbox() error {
	details := json.RawMessage(`{"mem_block_size":true,"mem_hotplug_probe":true}`)
	self := json.RawMessage(fmt.Sprintf(`{"container_id":%q}`, p.plan.ID))
	for _, c := range []struct {
		service, method string
		body            json.RawMessage
		timeout         time.Duration
	}{
		{"grpc.Health", "Check", nil, checkTimeout},
		{agentService, "CreateSandbox", p.plan.Sandbox, sandboxTimeout},
		{agentService, "GetGuestDetails", details, requestTimeout},
		{agentService, "CreateContainer", p.plan.Pause, requestTimeout},
		{agentService, "StartContainer", self, requestTimeout},
	} {
		if _, err := p.call(p.agent, c.service, c.method, c.body, c.timeout); err != nil {
			return err
		}
	}
	// Both wait as long as the pod lives, and both may end in an error then.
	go p.call(p.agent, agentService, "GetOOMEvent", nil, noTimeout)
	go p.call(p.agent, agentService, "WaitProcess", execBody(p.plan.ID), noTimeout)
	return nil
}

func (p *pod) runContainer(r *podResult) error {
	id := p.plan.ContainerID
	self := json.RawMessage(fmt.Sprintf(`{"container_id":%q}`, id))
	if _, err := p.call(p.agent, agentService, "CreateContainer", p.plan.Container, requestTimeout); err != nil {
		return err
	}
	if _, err := p.call(p.agent, agentService, "StartContainer", self, requestTimeout); err != nil {
		return err
	}
	var errs [2]error
	var wg sync.WaitGroup
	for i, into := range []*string{&r.Stdout, &r.Stderr} {
		i, into, method := i, into, []string{"ReadStdout", "ReadStderr"}[i]
		wg.Add(1)
		go func() {
			defer wg.Done()
			*into, errs[i] = p.read(method, id)
		}()
	}
	_, err := p.call(p.agent, agentService, "ExecProcess", p.plan.Exec, requestTimeout)
	st, _ := status.FromError(errors.Unwrap(err))
	if err == nil || st == nil {
		return fmt.Errorf("ExecProcess: expected a refusal, got %v", err)
	}
	r.ExecCode, r.ExecMessage = int(st.Code()), st.Message()
	p.put(podResult{Event: "running", ID: p.plan.ID})
	<-p.gates[1]
	if _, err := p.call(p.agent, agentService, "SignalProcess", signalBody(id, 15), requestTimeout); err != nil {
		return err
	}
	wg.Wait()
	if err := firstError(errs[:]); err != nil {
		return err
	}
	reply, err := p.call(p.agent, agentService, "WaitProcess", execBody(id), noTimeout)
	if err != nil {
		return err
	}
	r.Status = int32(reply.get("status").Int())
	return p.remove(id)
}

func (p *pod) read(method, id string) (string, error) {
	body := json.RawMessage(fmt.Sprintf(`{"container_id":%q,"exec_id":%q,"len":%d}`, id, id, readLength))
	var all strings.Builder
	for {
		reply, err := p.call(p.agent, agentService, method, body, noTimeout)
		if err != nil {
			return all.String(), err
		}
		data := reply.get("data").Bytes()
		if len(data) == 0 {
			return all.String(), nil
		}
		all.Write(data)
	}
}

// remove is what the runtime sends for a container that has ended, and for one that has not.
func (p *pod) remove(id string) error {
	for _, c := range []struct {
		method    string
		body      json.RawMessage
		tolerated bool
	}{
		{"SignalProcess", signalBody(id, 9), false},
		{"WaitProcess", execBody(id), true},
		{"RemoveContainer", json.RawMessage(fmt.Sprintf(`{"container_id":%q}`, id)), false},
		{"RemoveStaleVirtiofsShareMounts", nil, true},
	} {
		if _, err := p.call(p.agent, agentService, c.method, c.body, requestTimeout); err != nil && !c.tolerated {
			return err
		}
	}
	return nil
}

func (p *pod) stopSandbox() error {
	if err := p.remove(p.plan.ID); err != nil {
		return err
	}
	// The agent ends with this; the reply may be lost with the connection.
	_, _ = p.call(p.agent, agentService, "DestroySandbox", nil, requestTimeout)
	return nil
}

func (p *pod) call(client *ttrpc.Client, service, method string, body json.RawMessage, timeout time.Duration) (message, error) {
	m, err := p.schema.method(service, method)
	if err != nil {
		return message{}, err
	}
	request, response := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if len(body) > 0 {
		if err := protojson.Unmarshal(body, request); err != nil {
			return message{}, err
		}
	}
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := client.Call(ctx, service, method, request, response); err != nil {
		return message{}, fmt.Errorf("%s: %w", method, err)
	}
	return message{response}, nil
}

func execBody(id string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"container_id":%q,"exec_id":%q}`, id, id))
}

func signalBody(id string, signal int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"container_id":%q,"signal":%d}`, id, signal))
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
