package main

import (
	"encoding/binary"
	"hash/crc32"
)

// The chunks that an association of one message each way needs (RFC 9260, section 3.2).
const (
	chunkData       = 0
	chunkInit       = 1
	chunkInitAck    = 2
	chunkSack       = 3
	chunkAbort      = 6
	chunkCookieEcho = 10
	chunkCookieAck  = 11
)

const (
	wholeMessage   = 3 // flags of DATA: its first and its last fragment
	parameterState = 7 // the State Cookie of INIT ACK
	ourWindow      = 1 << 16
	commonHeader   = 12
	chunkHeader    = 4
	fixedInit      = 16 // of INIT and INIT ACK, before their parameters
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A chunk alone in its packet. Of packets with several only the first is read: what we talk to sends no others
// that matter here.
type chunk struct {
	source, destination uint16
	tag                 uint32
	kind                byte
	value               []byte
}

func (c chunk) encode() []byte {
	length := chunkHeader + len(c.value)
	out := make([]byte, commonHeader+(length+3)&^3)
	binary.BigEndian.PutUint16(out[0:], c.source)
	binary.BigEndian.PutUint16(out[2:], c.destination)
	binary.BigEndian.PutUint32(out[4:], c.tag)
	out[12] = c.kind
	if c.kind == chunkData {
		out[13] = wholeMessage
	}
	binary.BigEndian.PutUint16(out[14:], uint16(length))
	copy(out[commonHeader+chunkHeader:], c.value)
	binary.LittleEndian.PutUint32(out[8:], crc32.Checksum(out, castagnoli))
	return out
}

// decode gives false for what is damaged: its checksum is computed over the packet with none in it.
func decode(in []byte) (chunk, bool) {
	if len(in) < commonHeader+chunkHeader {
		return chunk{}, false
	}
	length := int(binary.BigEndian.Uint16(in[14:]))
	if length < chunkHeader || commonHeader+length > len(in) {
		return chunk{}, false
	}
	bare := append([]byte(nil), in...)
	clear(bare[8:12])
	if crc32.Checksum(bare, castagnoli) != binary.LittleEndian.Uint32(in[8:]) {
		return chunk{}, false
	}
	return chunk{
		source:      binary.BigEndian.Uint16(in[0:]),
		destination: binary.BigEndian.Uint16(in[2:]),
		tag:         binary.BigEndian.Uint32(in[4:]),
		kind:        in[12],
		value:       bare[commonHeader+chunkHeader : commonHeader+length],
	}, true
}

// introduction is what INIT and INIT ACK begin with: one stream each way.
func introduction(tag, firstNumber uint32) []byte {
	out := make([]byte, fixedInit)
	binary.BigEndian.PutUint32(out[0:], tag)
	binary.BigEndian.PutUint32(out[4:], ourWindow)
	binary.BigEndian.PutUint16(out[8:], 1)
	binary.BigEndian.PutUint16(out[10:], 1)
	binary.BigEndian.PutUint32(out[12:], firstNumber)
	return out
}

// message is a DATA chunk's value: the first message of stream 0.
func message(number uint32, text string) []byte {
	out := make([]byte, 12, 12+len(text))
	binary.BigEndian.PutUint32(out, number)
	return append(out, text...)
}

// receipt is a SACK chunk's value: all up to this number has come.
func receipt(number uint32) []byte {
	out := make([]byte, 12)
	binary.BigEndian.PutUint32(out[0:], number)
	binary.BigEndian.PutUint32(out[4:], ourWindow)
	return out
}

// cookie finds the State Cookie in an INIT ACK's value.
func cookie(value []byte) ([]byte, bool) {
	for at := fixedInit; at+chunkHeader <= len(value); {
		length := int(binary.BigEndian.Uint16(value[at+2:]))
		if length < chunkHeader || at+length > len(value) {
			return nil, false
		}
		if binary.BigEndian.Uint16(value[at:]) == parameterState {
			return value[at+chunkHeader : at+length], true
		}
		at += (length + 3) &^ 3
	}
	return nil, false
}
