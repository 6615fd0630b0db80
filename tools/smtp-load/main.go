// smtp-load sends messages to a mail server, each over a connection of its own or over one for each session, by STARTTLS
// where it is told to, as fast as the server takes them or at a rate; the content of a file, where it has to be signed;
// behind a PROXY header, as a client of any address; to one mailbox, or to many in turn. It prints how long the server
// took from the end of the content to its 250, as JSON, and then takes leave of the server.
//
// It is what `make bench` measures handshakes, checks, latencies, many connections and many mailboxes with: Postfix's
// smtp-source speaks no TLS, knows no rate, writes to one mailbox and makes up its messages, and a client in Python would
// be slower than the servers. TLS sessions are never resumed. Connections that are kept are open, and have said EHLO,
// before the first message and before the clock runs.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/smtp"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	address  = flag.String("address", "127.0.0.1:25", "host:port of the server")
	sessions = flag.Int("sessions", 20, "connections at a time")
	messages = flag.Int64("messages", 1000, "messages in all")
	seconds  = flag.Float64("seconds", 0, "how long to begin new messages, in place of -messages")
	held     = flag.Bool("held", false, "say `connected` on standard error, and begin when standard input ends")
	size     = flag.Int("size", 1000, "octets of a message's body")
	to       = flag.String("to", "user@example.org", "the recipient")
	boxes    = flag.Int64("mailboxes", 1, "recipients in turn, user0@… and so on; 1: only -to")
	from     = flag.String("from", "sender@example.net", "the sender")
	file     = flag.String("file", "", "a file with the message, CRLF and all, in place of one that is made up")
	proxy    = flag.String("proxy", "", "an IPv4 address, to be the client's by a PROXY header")
	rate     = flag.Float64("rate", 0, "messages a second by all sessions together; 0: as many as the server takes")
	reuse    = flag.Bool("reuse", false, "one connection a session, and not one a message")
	startTLS = flag.Bool("starttls", false, "encrypt each connection; any certificate is taken")
)

const atOnce = 100 // connections that are opened or closed: what the server has not accepted yet waits in its backlog

// dial opens a connection, says which client it is for where that is wanted, says EHLO, and encrypts it likewise.
func dial() (*smtp.Client, error) {
	connection, err := net.Dial("tcp", *address)
	if err != nil {
		return nil, err
	}
	if *proxy != "" {
		if _, err := fmt.Fprintf(connection, "PROXY TCP4 %s 192.0.2.25 50000 25\r\n", *proxy); err != nil {
			connection.Close()
			return nil, err
		}
	}
	client, err := smtp.NewClient(connection, "localhost")
	if err != nil {
		connection.Close()
		return nil, err
	}
	if err := client.Hello("localhost"); err != nil {
		client.Close()
		return nil, err
	}
	if *startTLS {
		if err := client.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			client.Close()
			return nil, err
		}
	}
	return client, nil
}

// dialAll opens a connection for each session.
func dialAll() ([]*smtp.Client, error) {
	clients, failures := make([]*smtp.Client, *sessions), make([]error, *sessions)
	each(func(number int) { clients[number], failures[number] = dial() })
	return clients, errors.Join(failures...)
}

// each does the work for each session, some at once.
func each(work func(number int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(atOnce, *sessions) {
		working.Go(func() {
			for number := int(next.Add(1)) - 1; number < *sessions; number = int(next.Add(1)) - 1 {
				work(number)
			}
		})
	}
	working.Wait()
}

// recipient returns to whom message n of all sessions goes.
func recipient(number int64) string {
	if *boxes <= 1 {
		return *to
	}
	user, domain, _ := strings.Cut(*to, "@")
	return fmt.Sprintf("%s%d@%s", user, number%*boxes, domain)
}

// send sends one message, and returns the time from the end of its content to its 250.
func send(client *smtp.Client, recipient string, content []byte) (time.Duration, error) {
	if err := client.Mail(*from); err != nil {
		return 0, err
	}
	if err := client.Rcpt(recipient); err != nil {
		return 0, err
	}
	data, err := client.Data()
	if err != nil {
		return 0, err
	}
	if _, err := data.Write(content); err != nil {
		return 0, err
	}
	begin := time.Now()
	err = data.Close()
	return time.Since(begin), err
}

// session sends messages until none is left or the time is up: over its client, or where it has none, each over one of
// its own. Message n of all sessions is not sent before its turn, by the rate.
func session(client *smtp.Client, left *atomic.Int64, begin time.Time, content []byte) (latencies []time.Duration, err error) {
	for {
		number := *messages - left.Add(-1) - 1
		if number >= *messages {
			return latencies, nil
		}
		if *rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(number) / *rate * float64(time.Second)))))
		}
		if *seconds > 0 && time.Since(begin).Seconds() >= *seconds {
			return latencies, nil
		}
		sending := client
		if sending == nil {
			if sending, err = dial(); err != nil {
				return latencies, err
			}
		}
		latency, err := send(sending, recipient(number), content)
		if err != nil {
			sending.Close()
			return latencies, err
		}
		latencies = append(latencies, latency)
		if client == nil {
			if err := sending.Quit(); err != nil {
				return latencies, err
			}
		}
	}
}

func main() {
	flag.Parse()
	content := []byte("Subject: load\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", *size/72+1))
	if *file != "" {
		var err error
		if content, err = os.ReadFile(*file); err != nil {
			fail(err)
		}
	}
	if *seconds > 0 {
		*messages = math.MaxInt64
	}
	clients := make([]*smtp.Client, *sessions)
	if *reuse {
		var err error
		if clients, err = dialAll(); err != nil {
			fail(err)
		}
	}
	if *held {
		fmt.Fprintln(os.Stderr, "connected")
		io.Copy(io.Discard, os.Stdin)
	}
	var left atomic.Int64
	left.Store(*messages)
	begin := time.Now()
	var all []time.Duration
	var failure error
	var lock sync.Mutex
	var sending sync.WaitGroup
	for _, client := range clients {
		sending.Go(func() {
			latencies, err := session(client, &left, begin, content)
			lock.Lock()
			defer lock.Unlock()
			all = append(all, latencies...)
			if err != nil {
				failure = err
			}
		})
	}
	sending.Wait()
	took := time.Since(begin).Seconds()
	if failure != nil || len(all) == 0 {
		fail(failure)
	}
	slices.Sort(all)
	quantile := func(part float64) float64 { // in milliseconds
		return float64(all[min(int(part*float64(len(all))), len(all)-1)].Microseconds()) / 1000
	}
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"messages": float64(len(all)), "rate": float64(len(all)) / took,
		"p50": quantile(0.5), "p99": quantile(0.99), "p99.9": quantile(0.999),
	})
	each(func(number int) { // nobody counts any more
		if client := clients[number]; client != nil {
			client.Quit()
		}
	})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "smtp-load:", err)
	os.Exit(1)
}
