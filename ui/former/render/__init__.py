"""HTML of the page, as functions from what is known to escaped text; none of them changes anything."""
