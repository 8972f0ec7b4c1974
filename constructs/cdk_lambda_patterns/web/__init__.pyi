from cdk_lambda_patterns.web.alb_function import AlbFunction as AlbFunction
from cdk_lambda_patterns.web.alb_function import AlbHealthCheck as AlbHealthCheck
from cdk_lambda_patterns.web.alb_function import AlbOptions as AlbOptions
from cdk_lambda_patterns.web.alb_function import AlbRule as AlbRule
from cdk_lambda_patterns.web.direct_invoke import DirectInvoke as DirectInvoke
