//go:build tools

// Package tools pins the gateway: `go build github.com/openfaas/faas/gateway` in this folder builds it.
package tools

import _ "github.com/openfaas/faas/gateway"
