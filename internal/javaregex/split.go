package javaregex

// Split cuts text where the pattern matches, as Java's split does: an empty match at the start cuts nothing, and empty
// pieces at the end are dropped.
func (p *Pattern) Split(text string) ([]string, error) {
	m := p.Matcher()
	m.Reset([]byte(text))
	var out []string
	at := 0
	for {
		found, err := m.Find()
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		start, stop := m.caps[0], m.caps[1]
		if at == 0 && stop == 0 {
			continue
		}
		out = append(out, string(m.Text()[at:start]))
		at = stop
	}
	if at == 0 {
		return []string{text}, nil
	}
	out = append(out, string(m.Text()[at:]))
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out, nil
}
