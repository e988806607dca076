-- The list of a client's own tasks, `mine:<client>`: task id -> when it was created. A task in the list has the letter LISTED in `owes`.
local MINE, MINE_MAX, LISTED = 'mine:', 10000, 'l'
