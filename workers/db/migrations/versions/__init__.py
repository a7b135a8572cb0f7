"""The revisions, one file each; a package, so that an installation has them."""
