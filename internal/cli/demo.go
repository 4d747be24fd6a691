package cli

func demoOptions() []option { return nil }

func runDemo(p *program, c *command, l *launch) error { return nil }
