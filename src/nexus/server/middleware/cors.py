def cors(app, config):
    return app
