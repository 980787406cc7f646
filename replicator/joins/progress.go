package joins

// Progress is how many rows a physical index has been made of so far, and of about how
// many in the end: those of the stored tables that its documents are made of, as
// they are loaded, and then those of its own tables, as their documents are rendered
// and held.
func (j *Joins) Progress(physical string) (done, estimated int64) {
	if j == nil {
		return 0, 0
	}
	count := func(rows, all int64) { done, estimated = done+rows, estimated+max(rows, all) }
	for _, t := range j.tables {
		load := t.shown.Load()
		all := load.Rows
		if !load.Done {
			all = t.Source.EstimatedRows
		}
		reads := false
		for _, to := range j.targets {
			if to.Physical != physical || !to.renderer.Reads(t.Table) {
				continue
			}
			reads = true
			switch rendered := to.rendered.Load(); {
			case to.renderer.Stored != t.Table:
			case to.began.Load() > 0 && !to.passing.Load():
				count(rendered, rendered)
			default:
				count(rendered, max(all, load.Rows))
			}
		}
		if reads {
			count(load.Rows, all)
		}
	}
	return done, estimated
}
