# Everything a developer does, by name. `make run` and `make test` do their own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: install uninstall help setup packages build tree bundles rootfs rootfs-update generate regorus-wasm vhost-device-vsock run test test-guest test-arm64 test-kata test-fresh bench lint fmt check clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

packages: ## install the Debian packages that the demo and the tests use
	@bash test/setup/packages.sh

node_modules/.package-lock.json: package-lock.json
	npm ci --ignore-scripts
	@touch $@

setup: packages node_modules/.package-lock.json

build: node_modules/.package-lock.json ## compile the packages, bundle the guest's daemons; simulated guests run on these
	tsc -b
	node guest-rootfs/bundle.ts
	node packages/cli/scripts/bundle.ts
	node guest-rootfs/tree.ts --if-there

generate: node_modules/.package-lock.json ## regenerate what is generated from protos/
	node packages/protocols/scripts/generate.ts
	node packages/api-server-rest/scripts/openapi.ts

regorus-wasm: ## rebuild the policy engine's WebAssembly module and compare it with the committed one
	bash packages/regorus-wasm/scripts/build.sh

vhost-device-vsock: packages node_modules/.package-lock.json ## vsock for QEMU guests on a kernel without /dev/vhost-vsock
	@bash test/setup/packages.sh vsock
	@node packages/cli/scripts/vhost-device-vsock.ts

tree: build ## put the guest's root directory together; needs the Debian packages
	node guest-rootfs/tree.ts

rootfs: packages build ## build the measured images into build/images; FLAVOUR=devkit builds one, BAKER=file adds, also INITRD=yes ARCH=arm64
	@node guest-rootfs/rootfs.ts $(if $(FLAVOUR),--flavour $(FLAVOUR)) $(if $(BAKER),--baker $(BAKER)) $(if $(INITRD),--initrd) $(if $(ARCH),--arch $(ARCH))

rootfs-update: node_modules/.package-lock.json ## lock the versions of Debian packages that the archive has now
	node guest-rootfs/rootfs-update.ts

install: build ## put the daemons into an image's root: DESTDIR=, and FLAVOUR=strict INTERPRETER=/path/of/node NODE=no SYSTEMD=no
	@node --conditions=source guest-rootfs/install.ts --destdir "$(DESTDIR)" --interpreter "$(or $(INTERPRETER),/usr/bin/node)" \
	  --node "$(or $(NODE),yes)" --systemd "$(or $(SYSTEMD),yes)" --flavour "$(or $(FLAVOUR),kata)"

uninstall: node_modules/.package-lock.json ## take away what make install has put there: DESTDIR=
	@node --conditions=source guest-rootfs/install.ts --uninstall --destdir "$(DESTDIR)"

run: setup build tree ## set up, start a guest, pull and run a container under a policy, tear down
	@node --conditions=source test/demo/run.ts

test: setup build tree vhost-device-vsock ## all the tests; the last line counts them
	@node guest-rootfs/rootfs.ts --newest-if-gone
	@node guest-rootfs/rootfs.ts --newest-if-gone --flavour devkit --initrd
	@node test/setup/run-tests.ts --project unit --project system --project main-path

test-guest: setup build vhost-device-vsock ## the tests of guests, in virtual machines
	@node guest-rootfs/rootfs.ts --newest-if-gone
	@node test/setup/run-tests.ts --project qemu

test-arm64: setup build ## the image for arm64: builds it, boots it in QEMU
	@bash test/setup/packages.sh arm64
	@node guest-rootfs/rootfs.ts --newest-if-gone --flavour devkit
	@node guest-rootfs/rootfs.ts --newest-if-gone --flavour devkit --arch arm64
	@node test/setup/run-tests.ts --project arm64

test-kata: setup build tree ## an unchanged Kata runtime under containerd: KATA_SHIM= CONTAINERD= CRICTL= CNI_BIN=
	@node test/setup/run-tests.ts --project kata

test-fresh: ## make run and make test in a new Debian tree
	@bash test/setup/fresh.sh

bench: setup build tree vhost-device-vsock ## ratios against real peers; ONLY=name runs one
	@node guest-rootfs/rootfs.ts --newest-if-gone
	@node --conditions=source test/bench/main.ts $(if $(ONLY),--only $(ONLY))

lint: node_modules/.package-lock.json
	oxlint --type-aware --deny-warnings

fmt: node_modules/.package-lock.json
	oxfmt

check: build lint ## types, lint, format, generated files
	tsc -p test/tsconfig.json --noEmit
	oxfmt --check
	node packages/protocols/scripts/generate.ts --check

clean:
	rm -rf packages/*/dist packages/cli/bundle build .cache
