package thriftrpc

import (
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// errAbsent means that a call has no arguments to speak of: Java calls its method with null.
var errAbsent = errors.New("the call lacks its argument")

// A decoder goes over the arguments of a call, first to count what the events need, then, with a cutter, to make them.
// It reads the same both times.
type decoder struct {
	reader
	tally  event.Tally
	cutter *event.Cutter // nil: count
	batch  flume.Batch   // with a cutter: what was made
}

// The structs that an argument is, or has in its list.
const (
	flumeEvent = "ThriftFlumeEvent"
	logEntry   = "LogEntry"
)

// arguments reads a struct whose field 1 is the argument: one struct, or a list of them. An argument that comes twice is
// refused, for its events would be cut twice.
func (d *decoder) arguments(of string, list bool) error {
	found := false
	for last := int16(0); ; {
		typ, id := d.field(last)
		last = id
		switch {
		case d.err != nil:
			return d.err
		case typ == typeStop && !found:
			return errAbsent
		case typ == typeStop && len(d.rest) > 0:
			return fmt.Errorf("%w: %d bytes follow the call in its frame", errStruct, len(d.rest))
		case typ == typeStop:
			return nil
		case id == 1 && found:
			d.fail("the argument comes twice")
		case id == 1 && typ == typeStruct && !list:
			found = true
			d.element(of)
		case id == 1 && typ == typeList && list:
			found = true
			d.elements(of)
		default:
			d.skip(typ, 0)
		}
	}
}

func (d *decoder) elements(of string) {
	typ, n := d.list("the list of structs")
	if n > 0 && typ != typeStruct {
		d.fail("the list has elements of type %d and not structs", typ)
	}
	for ; n > 0 && d.err == nil; n-- {
		d.element(of)
	}
}

func (d *decoder) element(of string) {
	if of == logEntry {
		d.entry()
		return
	}
	d.event()
}

// event reads a ThriftFlumeEvent.
func (d *decoder) event() {
	headers, body, text := false, false, []byte(nil)
	for last := int16(0); ; {
		typ, id := d.field(last)
		last = id
		switch {
		case d.err != nil:
			return
		case typ == typeStop && !headers:
			d.fail("Required field 'headers' was not present! Struct: %s", flumeEvent)
			return
		case typ == typeStop && !body:
			d.fail("Required field 'body' was not present! Struct: %s", flumeEvent)
			return
		case typ == typeStop:
			d.made(text)
			return
		case id == 1 && typ == typeMap:
			if headers && d.cutter != nil {
				d.cutter.Drop()
			}
			headers = true
			d.headers()
		case id == 2 && typ == typeString:
			body = true
			text = d.bytes("the body")
		default:
			d.skip(typ, 1)
		}
	}
}

func (d *decoder) headers() {
	key, value, n := d.pairs("the headers")
	if n > 0 && (key != typeString || value != typeString) {
		d.fail("the headers are of types %d and %d and not strings", key, value)
		return
	}
	for ; n > 0; n-- {
		k, v := d.bytes("a header's name"), d.bytes("a header's value")
		if d.err != nil {
			return
		}
		d.header(k, v)
	}
}

// entry reads a LogEntry. Java refuses one without a message only when it makes the event; category may be absent.
func (d *decoder) entry() {
	categories, category := false, []byte(nil)
	messages, text := false, []byte(nil)
	for last := int16(0); ; {
		typ, id := d.field(last)
		last = id
		switch {
		case d.err != nil:
			return
		case typ == typeStop && !messages:
			d.err = errAbsent
			return
		case typ == typeStop:
			if categories {
				d.header([]byte(categoryHeader), category)
			}
			d.made(text)
			return
		case id == 1 && typ == typeString:
			categories = true
			category = d.bytes("the category")
		case id == 2 && typ == typeString:
			messages = true
			text = d.bytes("the message")
		default:
			d.skip(typ, 1)
		}
	}
}

// categoryHeader is what a Scribe source calls the category of an entry.
const categoryHeader = "category"

func (d *decoder) header(key, value []byte) {
	if d.cutter == nil {
		d.tally.Headers++
		d.tally.Text += len(key) + len(value)
		return
	}
	d.cutter.Header(key, value)
}

func (d *decoder) made(body []byte) {
	if d.cutter == nil {
		d.tally.Events++
		d.tally.Bodies += len(body)
		return
	}
	d.batch = append(d.batch, d.cutter.Make(body))
}
