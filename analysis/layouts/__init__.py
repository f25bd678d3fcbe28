"""Tables as arrangements of cells, and as text: on a terminal, in Markdown and LaTeX."""
