package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
)

// split turns an address into what package net takes; port is set for hvsock only.
func split(addr string) (network, target, port string, err error) {
	scheme, rest, ok := strings.Cut(addr, "://")
	if !ok {
		return "", "", "", fmt.Errorf("address %q has no scheme", addr)
	}
	switch scheme {
	case "unix":
		// Package net takes a leading @ for the abstract namespace, as the address form does.
		return "unix", rest, "", nil
	case "tcp":
		return "tcp", rest, "", nil
	case "hvsock":
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			return "", "", "", fmt.Errorf("address %q has no port", addr)
		}
		return "unix", rest[:i], rest[i+1:], nil
	}
	return "", "", "", fmt.Errorf("unknown scheme %q", scheme)
}

func dial(addr string) (net.Conn, error) {
	network, target, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial(network, target)
	if err != nil || port == "" {
		return conn, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s\n", port); err != nil {
		conn.Close()
		return nil, err
	}
	// The reply is read byte by byte: what follows the line belongs to the protocol.
	line, err := bufio.NewReaderSize(oneByte{conn}, 16).ReadString('\n')
	if err == nil && !strings.Contains(line, "OK") {
		err = fmt.Errorf("hybrid vsock: expected OK, got %q", line)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:1]) }

func listen(addr string) (net.Listener, error) {
	network, target, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	if port != "" {
		return nil, fmt.Errorf("cannot listen on %q", addr)
	}
	return net.Listen(network, target)
}
