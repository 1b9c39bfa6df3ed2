package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "address; port 0 is any free one")
	flag.Parse()

	http.HandleFunc("/hello", func(answer http.ResponseWriter, asked *http.Request) {
		name := asked.URL.Query().Get("name")
		log.Printf("hello %q", name)
		fmt.Fprintf(answer, "Hello %s!\n", name)
	})
	server := &http.Server{Addr: *address}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	done := make(chan error)
	go func() {
		<-stop.Done()
		done <- server.Shutdown(context.Background())
	}()

	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	log.Print("bye")
}
