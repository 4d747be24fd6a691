# Sluice. "make" builds, "make demo" shows, "make test" proves. Only Go and make are needed; "make interop",
# "make long" and "make speed" also run the real peers of test/peers.

GO      ?= go
BUILD   := $(GO) build -trimpath -buildvcs=auto
FUZZ    ?= 5s

.PHONY: build demo test check race lint fuzz bench interop long speed clean powerloss

build:           ## bin/sluice, and the name flume-ng
	$(BUILD) -o bin/sluice ./cmd/sluice
	ln -sf sluice bin/flume-ng

demo: build      ## two agents between two Kafka topics; counts what arrives
	bin/sluice demo

test: check race powerloss fuzz  ## what must pass before a change goes in

check:           ## formatting and vet
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags interop ./...

race:            ## all tests of all packages, with the race detector, in random order
	$(GO) test -race -shuffle=on ./...

powerloss:       ## the file channel's log after 100,000 power cuts, without the race detector
	$(GO) test -count=1 -v -run='^TestPowerLoss$$' ./internal/wal

lint:            ## the linters of .golangci.yml
	test/lint

fuzz:            ## every fuzz test for FUZZ (5s)
	test/fuzz $(FUZZ)

bench:           ## allocations and time of the hot path
	$(GO) test -run='^$$' -bench=. -benchmem ./...

interop:         ## with real peers (Flume, Kafka), minutes
	test/interop

long:            ## with real peers, as long as it takes
	test/long
	test/powerloss
	test/proof fuzz software="$$($(GO) env GOVERSION)" -- test/fuzz 2m

speed:           ## the file channel beside real Flume's; docs/speed.md
	test/speed/run

clean:           ## what build and test have made
	rm -rf bin
