package crash

// A Story is what happens to the recorded machine: an installation, then one boot
// after the other with what is done in it, as guest.sh knows it.
type Story [][]string

// ShortStory has each verb, and takes a few minutes to record.
func ShortStory() Story {
	return Story{
		{"install", "1"},
		{"boot", "begin", "owner=1", "upgrade=2", "owner=2", "finalize"},
		{"boot", "begin", "bless", "owner=3", "gc", "rollback"},
		{"boot", "begin", "owner=4", "switch=3", "finalize"},
	}
}

// LongStory goes on from there: boots that are cut off and that fail, updates that
// are replaced before they are finalized, and one more of everything.
func LongStory() Story {
	return append(ShortStory(),
		[]string{"boot", "begin", "owner=5"}, // cut off
		[]string{"boot", "begin", "bless", "owner=6", "follow=4", "upgrade=5", "gc", "rollback", "gc", "rollback", "follow=5", "owner=7", "finalize"},
		[]string{"boot", "begin", "bless", "gc", "breaks", "upgrade=6", "owner=8", "finalize"},
		[]string{"boot", "begin", "fail"},
		[]string{"boot", "begin", "fail"},
		[]string{"boot", "begin", "fail"},
		[]string{"boot", "begin", "mends", "gc", "upgrade=7", "owner=9", "finalize"}, // the one before
		[]string{"boot", "begin", "bless", "gc", "upgrade=8", "owner=10", "finalize"},
		[]string{"boot", "begin", "bless", "gc", "switch=2", "switch=1", "gc", "rollback", "rollback", "switch=7", "owner=11", "finalize"},
		[]string{"boot", "begin", "gc"}, // the one before, which was found good then
	)
}
