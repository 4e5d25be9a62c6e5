package main

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	repeatInit   = time.Second // an INIT without an answer is sent again
	largest      = 1 << 16
	firstPort    = 32768
	ports        = 28000
	serverNumber = 1
)

// A client's end of one association.
type client struct {
	conn     *net.IPConn
	out      chunk  // ports and the server's tag are the same in all that we send
	own      uint32 // the tag that the server's packets must bear
	deadline time.Time
}

// exchange opens an association, sends a message, waits for one, and aborts.
func exchange(target, text string, deadline time.Time) error {
	host, number, err := net.SplitHostPort(target)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return err
	}
	address, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return err
	}
	conn, err := net.DialIP(rawNetwork(address.IP), nil, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	ends := chunk{source: uint16(firstPort + rand.IntN(ports)), destination: uint16(port)}
	c := client{conn: conn, out: ends, own: rand.Uint32() | 1, deadline: deadline}
	number1 := rand.Uint32()
	if err := c.open(number1); err != nil {
		return err
	}
	if err := c.send(chunkData, message(number1, text)); err != nil {
		return err
	}
	answer, err := c.receive(chunkData, c.deadline)
	if err != nil {
		return err
	}
	if len(answer.value) < 4 {
		return errors.New("a DATA chunk without a number")
	}
	if err := c.send(chunkSack, receipt(binary.BigEndian.Uint32(answer.value))); err != nil {
		return err
	}
	return c.send(chunkAbort, nil)
}

// open does the handshake of four: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.
func (c *client) open(number uint32) error {
	answer, err := c.introduce(number)
	if err != nil {
		return err
	}
	state, found := cookie(answer.value)
	if !found {
		return errors.New("an INIT ACK without a cookie")
	}
	c.out.tag = binary.BigEndian.Uint32(answer.value)
	if err := c.send(chunkCookieEcho, state); err != nil {
		return err
	}
	_, err = c.receive(chunkCookieAck, c.deadline)
	return err
}

func (c *client) introduce(number uint32) (chunk, error) {
	for {
		if err := c.send(chunkInit, introduction(c.own, number)); err != nil {
			return chunk{}, err
		}
		until := time.Now().Add(repeatInit)
		if until.After(c.deadline) {
			until = c.deadline
		}
		answer, err := c.receive(chunkInitAck, until)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(c.deadline) {
			return answer, err
		}
	}
}

func (c *client) send(kind byte, value []byte) error {
	packet := c.out
	packet.kind, packet.value = kind, value
	_, err := c.conn.Write(packet.encode())
	return err
}

// receive gives the association's next chunk of a kind; a raw socket hears those of others, too.
func (c *client) receive(kind byte, until time.Time) (chunk, error) {
	if err := c.conn.SetReadDeadline(until); err != nil {
		return chunk{}, err
	}
	buffer := make([]byte, largest)
	for {
		n, _, err := c.conn.ReadFrom(buffer) // Read would begin with the header of IPv4
		if err != nil {
			return chunk{}, err
		}
		in, sound := decode(buffer[:n])
		if !sound || in.source != c.out.destination || in.destination != c.out.source || in.tag != c.own {
			continue
		}
		if in.kind == chunkAbort {
			return chunk{}, errors.New("the association was aborted")
		}
		if in.kind == kind {
			return in, nil
		}
	}
}

// listen answers at these ports in both families until a socket fails.
func listen(texts map[uint16]string) error {
	four, err := net.ListenPacket("ip4:132", "0.0.0.0")
	if err != nil {
		return err
	}
	six, err := net.ListenPacket("ip6:132", "::")
	if err != nil {
		return err
	}
	socket4, socket6 := ipv4.NewPacketConn(four), ipv6.NewPacketConn(six)
	if err := errors.Join(socket4.SetControlMessage(ipv4.FlagDst, true), socket6.SetControlMessage(ipv6.FlagDst, true)); err != nil {
		return err
	}
	failed := make(chan error)
	go func() {
		failed <- answerAll(texts, func(buffer []byte) (int, func([]byte), error) {
			n, asked, from, err := socket4.ReadFrom(buffer)
			return n, func(out []byte) { _, _ = socket4.WriteTo(out, &ipv4.ControlMessage{Src: asked.Dst}, from) }, err
		})
	}()
	go func() {
		failed <- answerAll(texts, func(buffer []byte) (int, func([]byte), error) {
			n, asked, from, err := socket6.ReadFrom(buffer)
			return n, func(out []byte) { _, _ = socket6.WriteTo(out, &ipv6.ControlMessage{Src: asked.Dst}, from) }, err
		})
	}()
	return <-failed
}

// answerAll answers what `receive` gives with what `receive` says how to answer with: from the address that was
// asked, as a node has several.
func answerAll(texts map[uint16]string, receive func([]byte) (int, func([]byte), error)) error {
	buffer := make([]byte, largest)
	for {
		n, reply, err := receive(buffer)
		if err != nil {
			return err
		}
		if in, sound := decode(buffer[:n]); sound {
			for _, out := range answers(in, texts) {
				reply(out.encode())
			}
		}
	}
}

// answers keeps nothing of an association: both ends use the client's tag, so each packet says what its answer
// must bear.
func answers(in chunk, texts map[uint16]string) []chunk {
	text, served := texts[in.destination]
	if !served {
		return nil // another process of this pod may serve it
	}
	out := chunk{source: in.destination, destination: in.source, tag: in.tag}
	switch {
	case in.kind == chunkInit && len(in.value) >= fixedInit:
		out.tag, out.kind = binary.BigEndian.Uint32(in.value), chunkInitAck
		out.value = append(introduction(out.tag, serverNumber), 0, parameterState, 0, 8, 't', 'e', 's', 't')
		return []chunk{out}
	case in.kind == chunkCookieEcho:
		out.kind = chunkCookieAck
		return []chunk{out}
	case in.kind == chunkData && len(in.value) >= 4:
		reply := out
		out.kind, out.value = chunkSack, receipt(binary.BigEndian.Uint32(in.value))
		reply.kind, reply.value = chunkData, message(serverNumber, text)
		return []chunk{out, reply}
	}
	return nil
}

func rawNetwork(address net.IP) string {
	if address.To4() != nil {
		return "ip4:132"
	}
	return "ip6:132"
}
