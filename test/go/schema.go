package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schema holds the methods of every service found in a folder of .proto files.
type schema struct {
	methods map[string]protoreflect.MethodDescriptor // "package.Service/Method"
	types   *dynamicpb.Types
}

func loadSchema(dir string) (*schema, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".proto") {
			name, relErr := filepath.Rel(dir, path)
			names = append(names, name)
			return relErr
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no .proto file in %s", dir)
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	s := &schema{methods: map[string]protoreflect.MethodDescriptor{}}
	files := new(protoregistry.Files)
	for _, file := range compiled {
		if err := files.RegisterFile(file); err != nil {
			return nil, err
		}
		services := file.Services()
		for i := 0; i < services.Len(); i++ {
			methods := services.Get(i).Methods()
			for j := 0; j < methods.Len(); j++ {
				m := methods.Get(j)
				s.methods[fmt.Sprintf("%s/%s", services.Get(i).FullName(), m.Name())] = m
			}
		}
	}
	s.types = dynamicpb.NewTypes(files)
	return s, nil
}

func (s *schema) method(service, method string) (protoreflect.MethodDescriptor, error) {
	m, ok := s.methods[service+"/"+method]
	if !ok {
		return nil, fmt.Errorf("no method %s/%s in the .proto files", service, method)
	}
	return m, nil
}
