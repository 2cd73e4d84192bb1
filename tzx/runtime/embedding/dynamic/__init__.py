"""Tables whose rows belong to ids for as long as these are used: id maps, admission, eviction."""
