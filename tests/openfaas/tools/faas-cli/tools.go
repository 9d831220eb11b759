//go:build tools

// Package tools pins faas-cli: `go build github.com/openfaas/faas-cli` in this folder builds it.
package tools

import _ "github.com/openfaas/faas-cli"
