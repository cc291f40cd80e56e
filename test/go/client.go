package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// call is one line of input. With raw_b64 these bytes are the payload, whatever they are, and the reply comes back as
// reply_b64; otherwise body is the request in protobuf's JSON with the names of the .proto files.
type call struct {
	ID           int64               `json:"id"`
	Cancel       bool                `json:"cancel"`
	Service      string              `json:"service"`
	Method       string              `json:"method"`
	Body         json.RawMessage     `json:"body"`
	RawB64       *string             `json:"raw_b64"`
	TimeoutMs    int64               `json:"timeout_ms"`
	Metadata     map[string][]string `json:"metadata"`
	EmitDefaults bool                `json:"emit_defaults"`
}

// result is one line of output. Event is "connected" once at the start and "closed" when the connection ended.
type result struct {
	Event    string          `json:"event,omitempty"`
	ID       *int64          `json:"id,omitempty"`
	Reply    json.RawMessage `json:"reply,omitempty"`
	ReplyB64 *string         `json:"reply_b64,omitempty"`
	Code     *int            `json:"code,omitempty"`
	Message  string          `json:"message,omitempty"`
}

type rawKey struct{}

// raw replaces the encoded request by the bytes of the context and keeps the encoded reply.
type raw struct{ request, reply []byte }

func interceptRaw(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	r, ok := ctx.Value(rawKey{}).(*raw)
	if !ok {
		return invoke(ctx, req, resp)
	}
	req.Payload = r.request
	err := invoke(ctx, req, resp)
	r.reply = resp.Payload
	resp.Payload = nil
	return err
}

func runClient(addr string, args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	protos := flags.String("protos", "", "folder of .proto files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := loadSchema(*protos)
	if err != nil {
		return err
	}
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	put := func(r result) {
		mu.Lock()
		defer mu.Unlock()
		// Standard output is gone only when the test is.
		_ = out.Encode(r)
	}
	client := ttrpc.NewClient(conn,
		ttrpc.WithOnClose(func() { put(result{Event: "closed"}) }),
		ttrpc.WithUnaryClientInterceptor(interceptRaw))
	put(result{Event: "connected"})

	cancels := map[int64]context.CancelFunc{}
	var cancelsMu sync.Mutex
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return client.Close()
		}
		if err != nil {
			return err
		}
		var c call
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		cancelsMu.Lock()
		if c.Cancel {
			if cancel, ok := cancels[c.ID]; ok {
				cancel()
			}
			cancelsMu.Unlock()
			continue
		}
		ctx, cancel := begin(c.TimeoutMs)
		cancels[c.ID] = cancel
		cancelsMu.Unlock()
		go func() {
			r := run(ctx, client, s, c)
			cancelsMu.Lock()
			delete(cancels, c.ID)
			cancelsMu.Unlock()
			cancel()
			put(r)
		}()
	}
}

func begin(timeoutMs int64) (context.Context, context.CancelFunc) {
	if timeoutMs > 0 {
		return context.WithTimeout(context.Background(), time.Duration(timeoutMs)*time.Millisecond)
	}
	return context.WithCancel(context.Background())
}

func run(ctx context.Context, client *ttrpc.Client, s schema, c call) result {
	if len(c.Metadata) > 0 {
		ctx = ttrpc.WithMetadata(ctx, ttrpc.MD(c.Metadata))
	}
	if c.RawB64 != nil {
		request, err := base64.StdEncoding.DecodeString(*c.RawB64)
		if err != nil {
			return failure(c.ID, err)
		}
		r := &raw{request: request}
		ctx = context.WithValue(ctx, rawKey{}, r)
		if err := client.Call(ctx, c.Service, c.Method, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
			return failure(c.ID, err)
		}
		reply := base64.StdEncoding.EncodeToString(r.reply)
		return result{ID: &c.ID, ReplyB64: &reply}
	}
	m, err := s.method(c.Service, c.Method)
	if err != nil {
		return failure(c.ID, err)
	}
	request := dynamicpb.NewMessage(m.Input())
	if len(c.Body) > 0 {
		if err := protojson.Unmarshal(c.Body, request); err != nil {
			return failure(c.ID, err)
		}
	}
	response := dynamicpb.NewMessage(m.Output())
	if err := client.Call(ctx, c.Service, c.Method, request, response); err != nil {
		return failure(c.ID, err)
	}
	if n := len(response.ProtoReflect().GetUnknown()); n > 0 {
		return failure(c.ID, errors.New("reply has fields that the .proto files do not know"))
	}
	options := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: c.EmitDefaults}
	reply, err := options.Marshal(proto.Message(response))
	if err != nil {
		return failure(c.ID, err)
	}
	return result{ID: &c.ID, Reply: reply}
}

// failure reports a status as it is, the client's own time-out and end as the codes they stand for, and anything else,
// a mistake in the line of input, with code -1.
func failure(id int64, err error) result {
	code := -1
	message := err.Error()
	if st, ok := status.FromError(err); ok {
		code = int(st.Code())
		message = st.Message()
	} else if errors.Is(err, context.DeadlineExceeded) {
		code = 4
	} else if errors.Is(err, context.Canceled) {
		code = 1
	} else if errors.Is(err, ttrpc.ErrClosed) {
		code = 14
	}
	return result{ID: &id, Code: &code, Message: message}
}
