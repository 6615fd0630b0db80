// go-smtp-sink accepts mail and drops it, on go-smtp: Go's aiosmtpd, and what `make bench` holds Mailport against among
// compiled servers. With -cert and -key it offers STARTTLS.
package main

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net"

	"github.com/emersion/go-smtp"
)

type session struct{}

func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) Reset()                               {}
func (session) Logout() error                        { return nil }

func (session) Data(content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	return err
}

func main() {
	address := flag.String("address", "127.0.0.1:25", "where to listen")
	certificate := flag.String("cert", "", "file with a certificate and its chain")
	key := flag.String("key", "", "file with its key")
	flag.Parse()

	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{}, nil }))
	server.Domain = "mx.example.org"
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	}
	listening, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(listening))
}
