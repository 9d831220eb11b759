//! End-to-end tests on a real OpenFaaS: see `e2e/`, and `openfaas/` for the host that they run on.
