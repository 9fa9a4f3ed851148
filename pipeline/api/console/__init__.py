"""The console: pages for the people who look after users and for those who run the pipeline.

It only reads. Its pages are rendered from the same store, index and topics as the API's answers.
"""
