package wal

// Span is how many bytes of log there are from the oldest event on, which a log of one data directory needs as long as
// that event is in it: records, and what says that others have been taken. It costs no more than the files are many.
func (l *Log) Span() int64 {
	l.mu.Lock()
	if l.queue.size == 0 {
		l.mu.Unlock()
		return 0
	}
	oldest := l.queue.at(l.queue.low())
	l.mu.Unlock()
	span := -oldest.Offset()
	l.filesMu.RLock()
	defer l.filesMu.RUnlock()
	for id, d := range l.files {
		switch {
		case id < oldest.File():
		case d.ended > 0:
			span += d.ended
		default:
			span += d.written.Load()
		}
	}
	return max(span, 0)
}
