// An echo server and a client of one, made of pion/dtls, for tests of DTLS against another stack.
// Each line that it prints is of the form "word: text".
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pion/dtls/v4"
	"github.com/pion/dtls/v4/pkg/crypto/elliptic"
	"github.com/pion/dtls/v4/pkg/protocol"
)

var (
	role        = flag.String("role", "server", "server or client")
	folder      = flag.String("folder", ".", "where ca.pem, server.pem, server.key, client.pem and client.key are")
	port        = flag.Int("port", 0, "the server's port")
	version     = flag.String("version", "1.3", "1.3 or 1.2")
	cid         = flag.Bool("cid", false, "use connection IDs")
	tickets     = flag.Bool("tickets", false, "keep sessions, and resume them")
	auth        = flag.Bool("auth", false, "require, or have, a client certificate")
	group       = flag.String("group", "", "the first group: X25519, P-256 or P-384")
	connections = flag.Int("connections", 1, "how many associations follow each other")
	update      = flag.Bool("update", false, "update the keys after the first message")
	move        = flag.Bool("move", false, "go on at another port after the first message")
	message     = flag.String("message", "hello", "what the client says")
)

const patience = 5 * time.Second

// sessions keeps sessions by name or ticket.
type sessions struct {
	mutex sync.Mutex
	byKey map[string]dtls.Session
}

func (s *sessions) Set(key []byte, session dtls.Session) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.byKey[string(key)] = session
	return nil
}

func (s *sessions) Get(key []byte) (dtls.Session, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.byKey[string(key)], nil
}

func (s *sessions) Del(key []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.byKey, string(key))
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func certificate(name string) tls.Certificate {
	made, err := tls.LoadX509KeyPair(*folder+"/"+name+".pem", *folder+"/"+name+".key")
	check(err)
	return made
}

func authorities() *x509.CertPool {
	pem, err := os.ReadFile(*folder + "/ca.pem")
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// options are those of both roles.
func options() []dtls.Option {
	number := protocol.Version1_3
	if *version == "1.2" {
		number = protocol.Version1_2
	}
	made := []dtls.Option{
		dtls.WithMinVersion(number),
		dtls.WithMaxVersion(number),
		dtls.WithSupportedProtocols("echo"),
	}
	if *cid {
		made = append(made, dtls.WithConnectionID(dtls.RandomCIDGenerator(8), dtls.CIDPathMigrationRRC))
	}
	if *tickets {
		made = append(made, dtls.WithSessionStore(&sessions{byKey: map[string]dtls.Session{}}))
	}
	curves := map[string]elliptic.Curve{"X25519": elliptic.X25519, "P-256": elliptic.P256, "P-384": elliptic.P384}
	if *group != "" {
		made = append(made, dtls.WithEllipticCurves(curves[*group]))
	}
	return made
}

func describe(conn *dtls.Conn) {
	state, _ := conn.ConnectionState()
	peer := "nobody"
	if len(state.PeerCertificates) > 0 {
		parsed, err := x509.ParseCertificate(state.PeerCertificates[0])
		check(err)
		peer = parsed.Subject.CommonName
	}
	exported, err := state.ExportKeyingMaterial("EXPORTER-test", nil, 16)
	check(err)
	fmt.Printf("connected: %s %s exporter %x\n", state.NegotiatedProtocol, peer, exported)
}

func updateKeys(conn *dtls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(conn.UpdateKeys(ctx, dtls.KeyUpdateOptions{RequestPeerUpdate: true}))
	fmt.Println("updated:")
}

// What is said at the new port, so long that the other side has had time to check it.
const (
	movedMessages = 30
	movedPause    = 100 * time.Millisecond
)

// movePath goes on at another port, once the server was seen to answer there.
func movePath(conn *dtls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	path, err := conn.AddPath(socket)
	check(err)
	check(path.Probe(ctx))
	check(path.Switch())
	fmt.Println("moved:")
}

func serve() {
	made := []dtls.ServerOption{dtls.WithCertificates(certificate("server"))}
	for _, option := range options() {
		made = append(made, option)
	}
	if *auth {
		made = append(made, dtls.WithClientAuth(dtls.RequireAndVerifyClientCert), dtls.WithClientCAs(authorities()))
	}
	listener, err := dtls.ListenAddr("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: *port}, made...)
	check(err)
	fmt.Printf("port: %d\n", listener.Addr().(*net.UDPAddr).Port)
	for range *connections {
		accepted, err := listener.Accept()
		check(err)
		conn := accepted.(*dtls.Conn)
		check(conn.SetDeadline(time.Now().Add(patience)))
		check(conn.Handshake())
		describe(conn)
		echo(conn)
	}
	check(listener.Close())
}

func echo(conn *dtls.Conn) {
	buffer := make([]byte, 16384)
	for count := 0; ; count++ {
		length, err := conn.Read(buffer)
		if err != nil {
			fmt.Println("closed:", err)
			_ = conn.Close()
			return
		}
		_, err = conn.Write(buffer[:length])
		check(err)
		if *update && count == 0 {
			updateKeys(conn)
		}
	}
}

func call() {
	made := []dtls.ClientOption{dtls.WithRootCAs(authorities()), dtls.WithServerName("localhost")}
	for _, option := range options() {
		made = append(made, option)
	}
	if *auth {
		made = append(made, dtls.WithCertificates(certificate("client")))
	}
	for range *connections {
		conn, err := dtls.Dial("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: *port}, made...)
		check(err)
		check(conn.SetDeadline(time.Now().Add(patience)))
		check(conn.Handshake())
		describe(conn)
		say(conn)
		if *update {
			updateKeys(conn)
			say(conn)
		}
		if *move {
			movePath(conn)
			// The other side asks the old port first, and the new one when that stays silent.
			for range movedMessages {
				say(conn)
				time.Sleep(movedPause)
			}
		}
		check(conn.Close())
		fmt.Println("closed:")
	}
}

func say(conn *dtls.Conn) {
	_, err := conn.Write([]byte(*message))
	check(err)
	buffer := make([]byte, 16384)
	length, err := conn.Read(buffer)
	check(err)
	fmt.Printf("heard: %s\n", buffer[:length])
}

func main() {
	flag.Parse()
	if *role == "server" {
		serve()
	} else {
		call()
	}
}
