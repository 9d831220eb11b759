module rsfaas/routing

go 1.22

require (
	github.com/gorilla/mux v1.8.0
	github.com/openfaas/faas-provider v0.19.1
)
