module github.com/sluice-io/sluice

go 1.26

require software.sslmate.com/src/go-pkcs12 v0.7.4

require (
	github.com/klauspost/compress v1.20.3 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/crypto v0.11.0 // indirect
)
