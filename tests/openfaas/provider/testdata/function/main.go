// A function for the provider's tests: it tells what it was deployed with, or fails as asked.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Getenv("fail") {
	case "end":
		log.Fatal("ending as asked")
	case "deaf":
		log.Print("not listening as asked")
		time.Sleep(time.Hour)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		log.Printf("called with %s", body)
		secret, _ := os.ReadFile("/var/openfaas/secrets/" + os.Getenv("secret"))
		fmt.Fprintf(w, "greeting=%s secret=%s path=%s", os.Getenv("greeting"), secret, r.URL.Path)
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
