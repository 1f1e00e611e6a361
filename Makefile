# bootc. "make" lists the targets. Continuous integration calls .ci/run, which
# calls the targets of this file.

# The only build tag, for build, vet, test and lint alike: without cgo, go.podman.io/image
# verifies OpenPGP signatures in pure Go.
TAGS := containers_image_openpgp
export GOFLAGS := -tags=$(TAGS)
export CGO_ENABLED := 0
# What the laboratory's images get; see product.
export BOOTC_DESTDIR := $(CURDIR)/out/root

VERSION ?= 0.1.0-dev
DESTDIR ?=
# Whom the programs are for, such as arm64; this computer without it.
ARCH :=
BIN := bin$(addprefix /,$(ARCH))
PREFIX := /usr
GO ?= go
# What makes images and virtual machines needs root.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Where go puts the tools of this project; they are not in go.mod.
TOOLS := $(CURDIR)/.cache/bin
GOLANGCI_LINT := v2.15.0
# Upstream's repository tool, which "make interop" compares with.
CFSCTL_VERSION := 0.9.4
CFSCTL := $(CURDIR)/.cache/cfsctl/$(CFSCTL_VERSION)

# One virtual machine from installation to rollback, and one power cut: what
# "make check" runs. "make vm" runs all others.
CHECK_STORIES := ^(TestUpgradeAndRollback|TestPowerCutWhileStaged)$$

# What "make arm" runs: emulated from the first program of the image on, it takes
# too long to be among the others.
ARM_STORIES := ^TestArm64$$

# What "make trial" runs: updates that fail in one boot after the other, until the
# machine goes back. "make vm" has one such story.
TRIAL_STORIES := ^(TestHangingService|TestBrokenKernel|TestBrokenInitramfs|TestDyingSystem|TestPowerCutOnTrial)$$

# What "make discs" runs: discs that stay in the drive, and those of others.
DISC_STORIES := ^(TestForeignDisc|TestEject)$$

# Of the others, which "make vm" runs: all.
STORIES ?= .

# What make test tests.
PKG ?= ./...

# How long make fuzz tries each target.
FUZZTIME ?= 60s

.DEFAULT_GOAL := help
.PHONY: help build test fuzz bench lint vet check interop space damage faults vm trial discs arm crash demo install images man completions setup product clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## bin/bootc and bin/bootc-initramfs, static; ARCH=arm64 for others
	$(if $(ARCH),GOARCH=$(ARCH)) $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

test: ## unit and golden tests; more of them run as root. PKG=./internal/format/... runs some
	$(GO) test -timeout 20m $(PKG)

fuzz: ## each parser with hostile bytes, FUZZTIME long (60s)
	hack/fuzz $(FUZZTIME)

vet: ## go vet
	$(GO) vet ./...

lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint, gofmt and vet included
	$< run ./...

# Built from source through the Go module proxy, once.
$(TOOLS)/golangci-lint-$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT) (once, some minutes)"
	mkdir -p $(TOOLS)
	GOFLAGS= GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv $(TOOLS)/golangci-lint $@

check: setup product vet lint ## all but the long stories: vet, lint, tests as root, one machine, power cuts
	$(GO) test $(if $(SUDO),-exec "sudo -E") -timeout 20m ./...
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/vm -vm -v -count=1 -timeout 45m -run '$(CHECK_STORIES)'
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/crash -vm -v -count=1 -timeout 30m

interop: ## work on the same repositories with upstream's cfsctl
	@hack/interop-setup $(CFSCTL_VERSION) $(CFSCTL) || [ $$? = 75 ]
	@[ ! -x $(CFSCTL)/bin/cfsctl ] || $(GO) test ./test/interop -count=1 -timeout 30m -cfsctl $(CFSCTL)/bin/cfsctl

# On a file system in memory: it flushes often.
space: ## 500 upgrades on a small EFI system partition, cut at every flush; as root
	TMPDIR=$(firstword $(wildcard /dev/shm) /tmp) $(GO) test $(if $(SUDO),-exec "sudo -E") ./internal/action -count=1 -timeout 60m -v -run '^TestSpace$$' -upgrades 500

# DAMAGES=500 is a shorter one, SEED=2 another one.
DAMAGES ?= 3000
SEED ?= 1
damage: ## damage thousands of machines, a file each, and have fsck find and heal it; as root
	TMPDIR=$(firstword $(wildcard /dev/shm) /tmp) $(GO) test $(if $(SUDO),-exec "sudo -E") ./internal/action -count=1 -timeout 90m -v -run '^TestDamageCampaign$$' -damages $(DAMAGES) -damage-seed $(SEED) | grep -v -e '^=== RUN' -e '--- PASS'

vm: setup product ## the other stories in virtual machines
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/vm -vm -v -count=1 -timeout 75m -run '$(STORIES)' -skip '$(CHECK_STORIES)|$(ARM_STORIES)|$(TRIAL_STORIES)|$(DISC_STORIES)'

trial: setup product ## more updates that do not come up, or not at once
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/vm -vm -v -count=1 -timeout 60m -run '$(TRIAL_STORIES)'

discs: setup product ## live discs beside disks that boot
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/vm -vm -v -count=1 -timeout 30m -run '$(DISC_STORIES)'

arm: setup product ## build an image for arm64, make a disk image of it, and boot that
	@hack/setup arm64
	@rm -rf $(BOOTC_DESTDIR)-arm64
	@$(MAKE) --no-print-directory --silent install ARCH=arm64 DESTDIR=$(BOOTC_DESTDIR)-arm64
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./test/vm -vm -v -count=1 -timeout 60m -run '$(ARM_STORIES)'

# CRASH="-time 3h -seed 2" gives options; see docs/crash-campaign.md.
crash: setup product ## cut the power in ten thousands of ways, and judge what boots
	$(GO) build -o bin/crash ./test/crash/campaign
	$(SUDO) bin/crash $(CRASH)

# In memory: the verbs flush often. See docs/faults.md.
faults: ## each verb with each of its system calls failing; writes the tables anew; as root
	$(GO) test $(if $(SUDO),-exec "sudo -E") ./internal/action -count=1 -timeout 60m -run '^TestFaults$$' -faults

demo: setup product ## image, installation, upgrade and rollback in a virtual machine
	$(GO) build -o bin/demo ./test/demo
	$(SUDO) bin/demo

# ROWS=pull,derived runs these rows only. Peers that are not installed are left out.
bench: build ## what we do beside other tools: time and memory
	$(GO) build -o bin/bench ./test/bench
	$(SUDO) bin/bench -cfsctl $(CFSCTL)/bin/cfsctl -rows "$(ROWS)"

images: setup product ## the Debian base images, dracut and initramfs-tools
	$(SUDO) images/debian/build --bootc $(BOOTC_DESTDIR) --initramfs dracut
	$(SUDO) images/debian/build --bootc $(BOOTC_DESTDIR) --initramfs initramfs-tools

# What goes into the images of the laboratory.
product:
	@rm -rf $(BOOTC_DESTDIR).new
	@$(MAKE) --no-print-directory --silent install DESTDIR=$(BOOTC_DESTDIR).new
	@rm -rf $(BOOTC_DESTDIR) && mv $(BOOTC_DESTDIR).new $(BOOTC_DESTDIR)

setup: ## what check, vm and demo need from Debian
	@hack/setup

man: ## render the manual pages to out/man
	@$(GO) run ./hack/man docs/man out/man

install: build man ## the program and its units into DESTDIR, for an image; ARCH as for build
	install -Dm755 $(BIN)/bootc $(DESTDIR)$(PREFIX)/bin/bootc
	install -Dm755 $(BIN)/bootc-initramfs $(DESTDIR)$(PREFIX)/lib/bootc/initramfs-setup
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system packaging/systemd/*.service packaging/systemd/*.timer
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system/emergency.service.d packaging/systemd/emergency.service.d/50-bootc.conf
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system.conf.d packaging/system.conf.d/50-bootc.conf
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/bootc/kargs.d packaging/kargs.d/50-bootc.toml
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system-generators
	ln -sfn ../../../bin/bootc $(DESTDIR)$(PREFIX)/lib/systemd/system-generators/bootc-systemd-generator
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system-shutdown
	ln -sfn ../../../bin/bootc $(DESTDIR)$(PREFIX)/lib/systemd/system-shutdown/bootc-eject-medium
	install -Dm755 -t $(DESTDIR)$(PREFIX)/lib/dracut/modules.d/51bootc packaging/dracut/51bootc/module-setup.sh
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/dracut/modules.d/51bootc packaging/dracut/51bootc/61-bootc-medium.rules
	install -Dm755 -t $(DESTDIR)$(PREFIX)/share/initramfs-tools/hooks packaging/initramfs-tools/hooks/bootc
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/initramfs-tools/scripts packaging/initramfs-tools/scripts/bootc
	install -Dm755 -t $(DESTDIR)$(PREFIX)/share/initramfs-tools/scripts/init-premount packaging/initramfs-tools/scripts/init-premount/bootc
	install -Dm755 -t $(DESTDIR)$(PREFIX)/share/initramfs-tools/scripts/local-block packaging/initramfs-tools/scripts/local-block/bootc
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man5 out/man/*.5
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man8 out/man/*.8
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(if $(ARCH),@$(MAKE) --no-print-directory build ARCH=)
	bin/bootc completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bootc
	bin/bootc completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bootc
	bin/bootc completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bootc.fish

clean: ## remove bin, out and .cache
	$(SUDO) rm -rf bin out .cache
