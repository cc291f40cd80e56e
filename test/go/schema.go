package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schema holds the methods of every service found in a folder of protocols, by "package.Service/Method".
type schema map[string]protoreflect.MethodDescriptor

// loadSchema parses the .proto files of dir's folders. Each folder is one protocol, and its files import each other by
// their bare names.
func loadSchema(dir string) (schema, error) {
	folders := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".proto") {
			folder := filepath.Dir(path)
			folders[folder] = append(folders[folder], filepath.Base(path))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("no .proto file in %s", dir)
	}
	s := schema{}
	for folder, names := range folders {
		compiler := protocompile.Compiler{
			Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{folder}}),
		}
		files, err := compiler.Compile(context.Background(), names...)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			s.add(file)
		}
	}
	return s, nil
}

func (s schema) add(file protoreflect.FileDescriptor) {
	services := file.Services()
	for i := 0; i < services.Len(); i++ {
		methods := services.Get(i).Methods()
		for j := 0; j < methods.Len(); j++ {
			m := methods.Get(j)
			s[fmt.Sprintf("%s/%s", services.Get(i).FullName(), m.Name())] = m
		}
	}
}

func (s schema) method(service, method string) (protoreflect.MethodDescriptor, error) {
	m, ok := s[service+"/"+method]
	if !ok {
		return nil, fmt.Errorf("no method %s/%s in the .proto files", service, method)
	}
	return m, nil
}
