package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The messages of Health.Check as far as the bytes go: a string and an enum in field 1. Generated types, so that the
// measured client and server do no reflection.
type (
	checkRequest  = wrapperspb.StringValue
	checkResponse = wrapperspb.Int32Value
)

func runBenchServer(addr string) error {
	check := func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request checkRequest
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		return &checkResponse{Value: 1}, nil
	}
	return serve(addr, map[string]*ttrpc.ServiceDesc{
		"grpc.Health": {Methods: map[string]ttrpc.Method{"Check": check}},
	})
}

type figures struct {
	Inflight  int     `json:"inflight"`
	Calls     int     `json:"calls"`
	PerSecond float64 `json:"per_second"`
	P50Us     float64 `json:"p50_us"`
	P99Us     float64 `json:"p99_us"`
}

// runBench calls Health.Check over one connection from `inflight` goroutines.
func runBench(addr string, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	inflight := flags.Int("inflight", 1, "calls in flight")
	count := flags.Int("count", 20000, "calls in all, when --seconds is 0")
	seconds := flags.Float64("seconds", 0, "run for this long instead")
	warmup := flags.Int("warmup", 2000, "calls before the clock starts")
	timeout := flags.Duration("timeout", time.Minute, "time-out of each call; 0 for none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	if _, err := load(client, *inflight, *warmup, 0, *timeout); err != nil {
		return err
	}
	start := time.Now()
	times, err := load(client, *inflight, *count, time.Duration(*seconds*float64(time.Second)), *timeout)
	if err != nil {
		return err
	}
	elapsed := time.Since(start).Seconds()
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))].Nanoseconds()) / 1000 }
	return json.NewEncoder(os.Stdout).Encode(figures{*inflight, len(times), float64(len(times)) / elapsed, at(0.5), at(0.99)})
}

func load(client *ttrpc.Client, inflight, count int, limit, timeout time.Duration) ([]time.Duration, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		first error
		stop  = time.Now().Add(limit)
	)
	for g := 0; g < inflight; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var times []time.Duration
			var err error
			for i := 0; err == nil; i++ {
				start := time.Now()
				if limit > 0 && start.After(stop) || limit == 0 && i >= count/inflight {
					break
				}
				err = check(client, timeout)
				times = append(times, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			if err != nil && first == nil {
				first = err
			}
		}()
	}
	wg.Wait()
	return all, first
}

func check(client *ttrpc.Client, timeout time.Duration) error {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var response checkResponse
	return client.Call(ctx, "grpc.Health", "Check", &checkRequest{}, &response)
}
