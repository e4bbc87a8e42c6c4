"""The screens: what each shows, and what happens when something on it is pressed."""
