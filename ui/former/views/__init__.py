"""The screens, one file each. A view makes its components and says what they show for a session."""
