package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A behaviour fills the reply from the request, both reached by field name.
type behaviour func(ctx context.Context, request, reply message) error

type message struct{ *dynamicpb.Message }

func (m message) field(name string) protoreflect.FieldDescriptor {
	f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	if f == nil {
		panic(fmt.Sprintf("%s has no field %s", m.Descriptor().FullName(), name))
	}
	return f
}

func (m message) get(name string) protoreflect.Value    { return m.Get(m.field(name)) }
func (m message) set(name string, v protoreflect.Value) { m.Set(m.field(name), v) }

// What the server does is made up so that one field of a real request asks for each thing a client has to bear.
var behaviours = map[string]behaviour{
	"grpc.Health/Check": func(_ context.Context, _, reply message) error {
		reply.set("status", protoreflect.ValueOfEnum(1))
		return nil
	},
	"grpc.Health/Version": func(_ context.Context, _, reply message) error {
		reply.set("grpc_version", protoreflect.ValueOfString("go"))
		reply.set("agent_version", protoreflect.ValueOfString("ttrpc-peer"))
		return nil
	},
	// Fails with the code that `signal` names.
	"grpc.AgentService/SignalProcess": func(_ context.Context, request, _ message) error {
		code := codes.Code(request.get("signal").Uint())
		return status.Errorf(code, "code %d for %s", code, request.get("container_id").String())
	},
	// Swallows data.
	"grpc.AgentService/WriteStdin": func(_ context.Context, request, reply message) error {
		reply.set("len", protoreflect.ValueOfUint32(uint32(len(request.get("data").Bytes()))))
		return nil
	},
	// Makes `len` bytes.
	"grpc.AgentService/ReadStdout": func(_ context.Context, request, reply message) error {
		data := make([]byte, request.get("len").Uint())
		for i := range data {
			data[i] = byte(i)
		}
		reply.set("data", protoreflect.ValueOfBytes(data))
		return nil
	},
	// Waits for CloseStdin with the same `exec_id`, a number, and returns that as the exit status.
	"grpc.AgentService/WaitProcess": func(ctx context.Context, request, reply message) error {
		id := request.get("exec_id").String()
		number, err := strconv.Atoi(id)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gate(id):
			reply.set("status", protoreflect.ValueOfInt32(int32(number)))
			return nil
		}
	},
	// Lets WaitProcess with the same `exec_id` go on, once it is there.
	"grpc.AgentService/CloseStdin": func(ctx context.Context, request, _ message) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case gate(request.get("exec_id").String()) <- struct{}{}:
			return nil
		}
	},
	// Waits until the client gives up.
	"grpc.AgentService/GetOOMEvent": func(ctx context.Context, _, _ message) error {
		<-ctx.Done()
		return ctx.Err()
	},
	// Tells what metadata and time-out came with the call.
	"grpc.AgentService/GetMetrics": func(ctx context.Context, _, reply message) error {
		metadata, _ := ttrpc.GetMetadata(ctx)
		seen := map[string]interface{}{"metadata": metadata}
		if deadline, ok := ctx.Deadline(); ok {
			seen["timeout_ms"] = time.Until(deadline).Milliseconds()
		}
		b, err := json.Marshal(seen)
		reply.set("metrics", protoreflect.ValueOfString(string(b)))
		return err
	},
}

var gates sync.Map

// gate is where the two calls for one id meet.
func gate(id string) chan struct{} {
	made, _ := gates.LoadOrStore(id, make(chan struct{}))
	return made.(chan struct{})
}

func runServer(addr string, args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	protos := flags.String("protos", "", "folder of .proto files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := loadSchema(*protos)
	if err != nil {
		return err
	}
	services := map[string]*ttrpc.ServiceDesc{}
	for path, act := range behaviours {
		m, ok := s[path]
		if !ok {
			return fmt.Errorf("no method %s in %s", path, *protos)
		}
		service := string(m.Parent().FullName())
		if services[service] == nil {
			services[service] = &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{}}
		}
		services[service].Methods[string(m.Name())] = handle(m, act)
	}
	return serve(addr, services)
}

func handle(m protoreflect.MethodDescriptor, act behaviour) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		request := message{dynamicpb.NewMessage(m.Input())}
		if err := unmarshal(request.Message); err != nil {
			return nil, err
		}
		reply := message{dynamicpb.NewMessage(m.Output())}
		if err := act(ctx, request, reply); err != nil {
			return nil, err
		}
		return reply.Message, nil
	}
}

// serve prints one line when it listens, so that no test has to guess.
func serve(addr string, services map[string]*ttrpc.ServiceDesc) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	for name, desc := range services {
		server.RegisterService(name, desc)
	}
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	fmt.Println(`{"event":"listening"}`)
	return server.Serve(context.Background(), listener)
}
