"""What is published: built, looked into, used once in an empty environment; its bill of materials and its licences."""
