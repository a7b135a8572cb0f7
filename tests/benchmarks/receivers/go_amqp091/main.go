// Publish in the request with Go's net/http and amqp091, one channel, without confirms: the usual first
// version in a compiled language. It checks no signature and keeps no journal.
//
//	main ADDRESS PATH EXCHANGE ROUTING_KEY, with OM_AMQP_URL
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	address, path, exchange, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	connection, err := amqp.Dial(os.Getenv("OM_AMQP_URL"))
	if err != nil {
		log.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc(path, func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		event := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
		if err := channel.PublishWithContext(request.Context(), exchange, key, true, false, event); err != nil {
			http.Error(answer, "not published", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(answer, "ok")
	})
	log.Fatal(http.ListenAndServe(address, nil))
}
