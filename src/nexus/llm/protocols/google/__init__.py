"""The protocol of the Gemini API: generateContent, countTokens and batchEmbedContents.

https://ai.google.dev/api/generate-content
"""
