"""Keep every accepted event in files of this host until it is proven to be in the broker."""
