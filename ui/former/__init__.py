"""The page of one browser at a time, held in memory; goes as soon as the page on the store is whole."""
