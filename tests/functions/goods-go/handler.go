// Package function tells what is for sale, and what all of it costs: a function of two packages and a
// data file.
package function

import (
	"encoding/json"
	"net/http"

	"handler/function/shop"
)

// Handle answers any request.
func Handle(w http.ResponseWriter, _ *http.Request) {
	goods, err := shop.Load("static/goods.json")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone hears nothing.
	_ = json.NewEncoder(w).Encode(goods.Summary())
}
