module github.com/sluice-io/sluice

go 1.26

require (
	github.com/twmb/avro v1.9.0
	go.uber.org/goleak v1.3.0
)

require github.com/klauspost/compress v1.18.4 // indirect
