package function

import (
	"io"
	"net/http"
)

// Handle answers a request.
func Handle(w http.ResponseWriter, r *http.Request) {
	// A client that stops sending hears nothing more either.
	_, _ = io.Copy(w, r.Body)
}
