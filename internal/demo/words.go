package main

// topic is what a note is about. The words fit into the sentences below.
type topic struct {
	tag    string
	things []string
	places []string
	doings []string
}

func topics() []topic {
	return []topic{
		{
			"Gardening",
			[]string{"the old apple tree", "a bed of beans", "the compost heap", "a row of leeks", "the garden hose", "a clay pot"},
			[]string{"behind the shed", "in the winter garden", "on the balcony", "along the south wall"},
			[]string{"pruning", "watering", "sowing late", "saving seeds", "mulching"},
		},
		{
			"Cooking",
			[]string{"a loaf of slow bread", "the cast iron pan", "a jar of plum jam", "the lentil soup", "a sharp knife", "the sourdough starter"},
			[]string{"in a tiny kitchen", "at the long table", "over an open fire", "at my aunt's house"},
			[]string{"kneading", "tasting early", "baking at night", "cooking for ten", "fermenting"},
		},
		{
			"Cycling",
			[]string{"a steel frame", "the rear derailleur", "a borrowed bicycle", "the gravel road", "a leather saddle", "the head wind"},
			[]string{"on the mountain pass", "along the canal", "at the ferry landing", "in the city traffic"},
			[]string{"climbing", "mending a puncture", "riding at dawn", "packing light", "truing a wheel"},
		},
		{
			"Trains",
			[]string{"the night train", "a paper timetable", "the sleeping car", "a missed connection", "the dining car", "a window seat"},
			[]string{"at the border station", "somewhere before Vienna", "on platform nine", "under the glass roof"},
			[]string{"changing trains", "waiting", "crossing a border", "sleeping sitting up", "reading the signals"},
		},
		{
			"Astronomy",
			[]string{"a small telescope", "the Orion nebula", "the rings of Saturn", "a star chart", "the red lamp", "a cold eyepiece"},
			[]string{"under a dark sky", "on the roof", "far from the city lights", "at the old observatory"},
			[]string{"observing", "polar aligning", "sketching at the eyepiece", "waiting for clouds to pass", "counting meteors"},
		},
		{
			"Databases",
			[]string{"a missing index", "the slow query", "an open transaction", "the replication slot", "a forgotten lock", "the query planner"},
			[]string{"on the primary", "in production", "on a Friday evening", "in the staging copy"},
			[]string{"vacuuming", "reading the plan", "migrating without downtime", "denormalizing", "restoring a backup"},
		},
		{
			"Django",
			[]string{"a custom manager", "the admin site", "a signal handler", "the search form", "a template tag", "the user model"},
			[]string{"in the settings file", "behind the load balancer", "in a legacy project", "in the test suite"},
			[]string{"prefetching", "caching", "writing migrations", "upgrading", "testing views"},
		},
		{
			"Photography",
			[]string{"an old camera", "a roll of film", "the blue hour", "a cheap lens", "the contact sheet", "a tripod"},
			[]string{"in the darkroom", "at the harbour", "by the window", "in the fog"},
			[]string{"developing", "waiting for the light", "framing", "printing", "walking without a plan"},
		},
		{
			"Music",
			[]string{"a used piano", "the metronome", "an open tuning", "the second movement", "a broken string", "the village choir"},
			[]string{"in the practice room", "at the back of the church", "in the attic", "on a rainy afternoon"},
			[]string{"practising slowly", "sight reading", "tuning by ear", "improvising", "listening"},
		},
		{
			"Woodworking",
			[]string{"a dovetail joint", "the hand plane", "a plank of ash", "the workbench", "a dull chisel", "the rocking chair"},
			[]string{"in the cellar", "at the saw mill", "in a friend's workshop", "on the garage floor"},
			[]string{"sharpening", "gluing up", "measuring twice", "sanding", "cutting by hand"},
		},
	}
}

// The patterns: %t is a thing, %p a place, %d something that is done; %T and %D begin a sentence.
func titlePatterns() []string {
	return []string{
		"What %t taught me about %d", "%D, %p", "In praise of %t", "A year of %d", "%T and the art of %d",
		"Notes on %d %p", "Why I stopped %d", "%T, %p", "Ten minutes of %d a day", "How not to ruin %t",
	}
}

func sentencePatterns() []string {
	return []string{
		"%T taught me more about %d than any book did.",
		"I found %t %p, and could not stop thinking about it.",
		"Most people believe that %d is a matter of talent; it is a matter of patience.",
		"Nobody warned me that %t would need so much attention.",
		"There is a moment, usually %p, when %d becomes easy.",
		"My neighbour says that %t lasts a lifetime if you treat it well.",
		"The first attempt at %d went wrong in every way it could.",
		"After a week of %d the difference was plain to see.",
		"Whoever has spent an evening %p knows why %t matters.",
		"I keep a list of mistakes, and %d is still at the top of it.",
		"It took three tries, some luck and %t.",
		"What I like best about %d is that nobody can hurry you.",
		"%T was there before me and will be there when I am gone.",
		"Do not start with %d; start with %t and let the rest follow.",
		"Last spring, %p, I met someone who had never heard of %d.",
		"In the end %t cost less than the coffee I drank meanwhile.",
	}
}

func commentPatterns() []string {
	return []string{
		"I had the same trouble with %t. Thank you!", "Have you tried %d first?", "Not sure about %d, but %t is a fine idea.",
		"This made my day. Greetings from someone who sits %p right now.", "%T? Never again.", "Could you write more about %d?",
		"Disagree: %d is overrated.", "I read this twice, %p.", "My grandfather swore by %t.", "Bookmarked for the next weekend of %d.",
	}
}

// searches are what readers of the blog look for.
func searches() []string {
	return []string{
		"night train border", "slow bread", "missing index production", "old camera fog", "winter garden patience",
		"dovetail joint", "rings of Saturn", "signal handler legacy", "used piano attic", "gravel road head wind",
	}
}

func firstNames() []string {
	return []string{
		"Ada", "Amir", "Beatriz", "Björn", "Chiara", "Daniel", "Elif", "Emeka", "Farah", "Grace", "Hana", "Ivan", "Jonas", "Kaito", "Léa",
		"Lin", "Mateo", "Mira", "Nadia", "Noah", "Olga", "Paulo", "Priya", "Quentin", "Rosa", "Sofía", "Tomasz", "Uma", "Vera", "Yusuf", "Zoë",
	}
}

func lastNames() []string {
	return []string{
		"Almeida", "Bauer", "Castillo", "Dubois", "Eriksen", "Ferrari", "Górski", "Haddad", "Ito", "Jansen", "Kowalski", "Lindqvist", "Moreau",
		"Nakamura", "Okafor", "Petrov", "Quispe", "Rossi", "Schmidt", "Tanaka", "Ueda", "Vargas", "Weber", "Xu", "Yılmaz", "Zhang",
	}
}
