module github.com/sluice-io/sluice

go 1.26

require github.com/klauspost/compress v1.20.3

require (
	go.uber.org/goleak v1.3.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
