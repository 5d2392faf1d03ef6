"""The routing of a table as a drawing: a scene is worked out once, SVG and mermaid put it down."""
